"""Which neurons of a recurrent network know X, how sure are we, and does the network use it?"""
