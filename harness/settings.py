"""Settings that no group of the configuration can check by itself."""


class SettingError(ValueError):
    """A value of the configuration that cannot be used; one sentence naming the key and what it may be."""
