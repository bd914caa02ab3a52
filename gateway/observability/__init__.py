"""What a request and the gateway's parts look like from outside: context, metrics, pools."""
