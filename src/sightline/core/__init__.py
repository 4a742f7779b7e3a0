"""The small frozen values that everything else speaks in; imports nothing of ours."""
