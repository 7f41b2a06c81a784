-- Triggers: for each row, for each statement with its new rows, and checks put off to the end of the transaction.
CREATE TRIGGER set_updated_at BEFORE UPDATE ON students FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_updated_at BEFORE UPDATE ON "order" FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_updated_at BEFORE UPDATE OF price, name ON products
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON "order" FOR EACH ROW EXECUTE FUNCTION log_change();
CREATE TRIGGER log_change AFTER UPDATE OF score ON grades FOR EACH ROW EXECUTE FUNCTION log_change();
CREATE TRIGGER log_bulk_enrollment AFTER INSERT ON enrollments
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION log_bulk_enrollment();
CREATE CONSTRAINT TRIGGER check_order_total AFTER INSERT OR UPDATE OF total ON "order"
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_order_total();
