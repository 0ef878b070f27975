"""The offline engine: what `up`, `preview` and `destroy` run on where no `pulumi` CLI is on `PATH`.

It runs the unmodified program under the unmodified SDK in a child process, answers the SDK's resource
monitor, and writes Pulumi's own checkpoint (deployment version 3, passphrase secrets) into an ordinary file
backend. The real CLI takes over the same directory and previews no change: that is its definition of correct.
"""

from __future__ import annotations
