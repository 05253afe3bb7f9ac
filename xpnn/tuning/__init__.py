"""Trying architectures systematically: a space of networks and trainings, searched with Optuna.

Source: section "Choosing the network": depth and width follow the problem, the data, the compute at hand, and trial.
"""
