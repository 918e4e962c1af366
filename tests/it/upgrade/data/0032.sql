-- An import into the root of its environment.
update rollcall.import_job j set businessunitid = b.businessunitid
from rollcall.business_unit b where b.environment = j.environment and b.parentbusinessunitid is null;
