-- A job that has granted a role to one user and was refused another.
update rollcall.import_job set roles = '{Reader}',
    role_results = '[{"role": "Reader", "granted": 1, "refused": {"user_disabled": 1}}]'
where id = 1;
