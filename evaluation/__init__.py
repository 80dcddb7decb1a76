"""The yardstick: functions of tables. No model, no torch."""
