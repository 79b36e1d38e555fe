"""All cases: importing their modules registers them."""

from importlib import import_module


def load_cases() -> None:
    for module in ("statistics_cases", "inspection_cases", "network_cases", "text_cases", "lab_cases", "app_cases"):
        import_module(module)
