from dni_jax.app.cli._main import main

main()
