"""This machine as a place to train on."""

NAME = "local"
