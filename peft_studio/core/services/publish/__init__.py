"""Publishing an adapter: a plan of what would be shared, a confirmation, a record, and what came of it. Decides; connectors send.

The way of it: :func:`plan.build_plan` → the caller confirms → :func:`push.push_plan` → :class:`push.Pushed`.
"""
