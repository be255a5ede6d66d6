"""Rented machines, from the wish to the proof that they are gone. Knows no vendor and no HTTP; what a run does on a machine is not known here.

``decide`` says what is to be done next, from what is on disk and what a provider lists; everything else carries that out or shows it.
"""
