"""Problems, texts and runs that several tests share."""
