-- A form waits for a new sign-in.
update rollcall.console_session set form_path = '/console/runs', form_fields = 'kind=full';
