"""The words of the STAC API that an edge and the gateway both speak: requests, filters, order, documents.

Pure: no aiohttp, no asyncio, no database, no clock.
"""
