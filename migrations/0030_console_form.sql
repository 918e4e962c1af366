-- A form that was sent when the sign-in was too old for it: it is shown again, filled, after a new sign-in.
alter table rollcall.console_session add column form_path text;
alter table rollcall.console_session add column form_fields text;
