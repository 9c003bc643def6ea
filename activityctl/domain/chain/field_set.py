"""The two contracts that check the signatures of executables, by the fields that they sign."""

from enum import StrEnum


class FieldSet(StrEnum):
    """Which fields are signed, and in which order."""

    SDK_12 = "sdk-12"
    """Twelve fields, as the SDKs sign; gas and refund fields are zero."""
    AUDITED_7 = "audited-7"
    """Seven fields, as the audited contracts check."""
