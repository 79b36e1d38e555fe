from dni_jax.cli.main import main

main()
