"""Germany: SML 1.04 and IEC 62056-21 on the meter's optical port."""
