"""Norway: HAN lists of Aidon, Kaifa and Kamstrup (NEK); also their Swedish and Slovenian kin."""
