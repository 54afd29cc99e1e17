"""Measurements that anybody can rerun; each claim about speed or quality has one here."""
