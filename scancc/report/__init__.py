"""What a compilation made of a program, for people: as text, on the terminal, and as a page with a picture."""
