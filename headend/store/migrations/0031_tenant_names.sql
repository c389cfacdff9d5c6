-- Names of the other utilities are nobody's business; foreign keys need no right to read.
revoke select on ohmesh.tenant from ohmesh_api;
