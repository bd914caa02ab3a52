"""The Python client and the command line of wanneng."""

from wanneng.client import AsyncClient, Classification, Client, GatewayRefused

__all__ = ["AsyncClient", "Classification", "Client", "GatewayRefused"]
