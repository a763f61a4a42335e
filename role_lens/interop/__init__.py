"""How do I use it elsewhere?"""
