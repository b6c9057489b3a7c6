"""What a deployment needs beside the processes: rules, dashboards, manifests."""
