-- An import into a business unit.
update rollcall.import_job set businessunitid = (select businessunitid from rollcall.business_unit limit 1);
