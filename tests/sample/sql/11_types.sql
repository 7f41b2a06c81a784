-- Types and free-standing sequences that the tables below share.
SET ROLE app_owner;

CREATE TYPE "Role" AS ENUM ('ADMIN', 'TEACHER', 'STUDENT', 'GUARDIAN');
CREATE TYPE "NotificationChannel" AS ENUM ('EMAIL', 'SMS', 'PUSH', 'IN_APP');
CREATE TYPE enrollment_status AS ENUM ('applied', 'active', 'completed', 'withdrawn');
CREATE TYPE order_status AS ENUM ('pending', 'paid', 'shipped', 'delivered', 'cancelled');
CREATE TYPE invoice_status AS ENUM ('draft', 'open', 'paid', 'void');

CREATE DOMAIN email_address AS text CHECK (VALUE ~ '^[^@\s]+@[^@\s]+$');
CREATE DOMAIN percentage AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN money_amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE DOMAIN country_code AS char(2) CHECK (VALUE ~ '^[A-Z]{2}$');

CREATE TYPE postal_address AS (street text, city text, postcode text, country country_code);

-- invoices.number draws from the first; certificates and refunds share the second, so that no number appears twice.
CREATE SEQUENCE invoice_number_seq START 1000;
CREATE SEQUENCE document_number_seq START 500000 CACHE 10;
CREATE SEQUENCE job_ticket_seq;

RESET ROLE;
