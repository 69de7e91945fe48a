CREATE TABLE purchase (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  product_id bigint NOT NULL REFERENCES product,
  amount     integer NOT NULL CHECK (amount > 0),
  at         timestamptz NOT NULL DEFAULT now()
);

CREATE VIEW revenue AS
  SELECT product.name, sum(purchase.amount * product.price_cents) AS cents
  FROM purchase JOIN product ON product.id = purchase.product_id
  GROUP BY product.name;
