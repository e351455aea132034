"""Plain HTTP/1.1 exchanges for large bodies and many small ones: bytes go from socket to socket through one buffer.

What belongs here: heads, sockets, framing, kept connections. What does not: what is asked, and of whom.
"""
