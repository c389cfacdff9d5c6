-- A repeat of a payment gets the first answer, the supply's decision in it too.
alter table ohmesh.payment add column decision_seq bigint;
