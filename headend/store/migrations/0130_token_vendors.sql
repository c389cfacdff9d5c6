-- Tokens of more than one kind: whose way of writing a meter takes, and a token was made in.
alter table ohmesh.token_meter drop constraint token_meter_vendor_check,
    add constraint token_meter_vendor_check check (vendor in ('sts', 'paygo', 'utrn'));
alter table ohmesh.token add column vendor text not null default 'sts'
    check (vendor in ('sts', 'paygo', 'utrn'));
