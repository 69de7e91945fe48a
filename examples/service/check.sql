-- Fails (and so does the step) where the schema does not do what it is for.
INSERT INTO product (name, price_cents) VALUES ('anchor', 1200), ('rope', 350);
INSERT INTO purchase (product_id, amount) SELECT id, 3 FROM product WHERE name = 'rope';

DO $$
BEGIN
  ASSERT (SELECT cents FROM revenue WHERE name = 'rope') = 1050, 'revenue is wrong';
  BEGIN
    INSERT INTO product (name, price_cents) VALUES ('debt', -1);
    ASSERT false, 'a negative price was accepted';
  EXCEPTION WHEN check_violation THEN
    RAISE NOTICE 'a negative price is refused';
  END;
END $$;
