"""Attribution methods: which parts of an image the score hangs on. One small function a method.

This is the house's room for methods; it is not called `methods` because `sightline.methods()` is a function.
"""
