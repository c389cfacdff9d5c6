"""Luxembourg: Smarty, P1 text under general-glo-ciphering."""
