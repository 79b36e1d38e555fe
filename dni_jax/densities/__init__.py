from dni_jax.densities.kinds import start_flow
