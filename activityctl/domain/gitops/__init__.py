"""The plan (wanted compared with live objects), its effects, apply sets, history and drift."""
