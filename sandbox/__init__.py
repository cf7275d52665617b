"""The local stack: emulators of Stripe and Salesforce, and the real template on a local AWS.

Test equipment that users get too. Nothing here is imported by the functions or their layers.
"""
