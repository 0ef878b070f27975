"""`ops rotate`: new passwords for the databases' logins and OpenERP's administrator."""
