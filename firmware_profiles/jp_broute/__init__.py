"""Japan: the B-route from the smart meter to the home (ECHONET Lite over Wi-SUN)."""
