INSERT INTO product_categories (parent_id, slug)
SELECT CASE WHEN i > 5 THEN mod(i, 5) + 1 END, 'category-' || i FROM generate_series(1, 25) AS i;

INSERT INTO products (category_id, course_id, sku, name, price, attributes, description, discontinued, updated_at)
SELECT mod(i, 25) + 1, CASE WHEN mod(i, 2) = 0 THEN mod(i, :courses) + 1 END, 'SKU-' || lpad(i::text, 6, '0'),
       'Product ' || i, 5 + mod(i * 7, 200), jsonb_build_object('weight', mod(i, 900), 'colour', 'blue'),
       'Product ' || i || ' of the school shop.', mod(i, 50) = 0, timestamptz '2026-01-01'
FROM generate_series(1, :products) AS i;

INSERT INTO product_prices (product_id, valid, price)
SELECT p, daterange(make_date(2024 + y, 1, 1), make_date(2025 + y, 1, 1)), 5 + mod(p * 7, 200)
FROM generate_series(1, :products) AS p, generate_series(1, 2) AS y;

INSERT INTO stock_levels (product_id, warehouse, quantity, reserved)
SELECT p, w, 100000 + mod(p * 13, 500), mod(p, 5)
FROM generate_series(1, :products) AS p, unnest(ARRAY['north', 'south']) AS w;

INSERT INTO coupons (code, percent_off, valid_until)
SELECT 'SAVE' || i, mod(i, 9) * 5 + 5, date '2027-01-01' FROM generate_series(1, 60) AS i;

INSERT INTO carts (id, user_id, coupon, created_at, closed_at)
SELECT md5('cart ' || i)::uuid, :teachers + mod(i * 3, :students) + 1, CASE WHEN mod(i, 8) = 0 THEN 'SAVE' || mod(i, 60) + 1 END,
       timestamptz '2026-03-01' + i * interval '3 minutes',
       CASE WHEN mod(i, 2) = 0 THEN timestamptz '2026-03-02' + i * interval '3 minutes' END
FROM generate_series(1, :carts) AS i;

INSERT INTO cart_items (cart_id, product_id, quantity)
SELECT md5('cart ' || i)::uuid, mod(i * 3 + k * 7, :products) + 1, k
FROM generate_series(1, :carts) AS i, generate_series(1, 2) AS k;

INSERT INTO "order" (tenant_id, user_id, status, total, shipping, placed_at, updated_at)
SELECT mod(i, :tenants) + 1, :teachers + mod(i, :students) + 1,
       (ARRAY['delivered', 'paid', 'shipped', 'delivered', 'cancelled'])[mod(i, 5) + 1]::order_status,
       (SELECT sum(quantity * (5 + mod(product * 7, 200)))
        FROM (SELECT n AS quantity, mod(i * 5 + n * 3, :products) + 1 AS product
              FROM generate_series(1, 1 + mod(i, 4)) AS n) AS item),
       CASE WHEN mod(i, 4) = 0 THEN ROW ('Street ' || i, 'Town', '10115', 'DE')::postal_address END, t, t
FROM generate_series(1, :orders) AS i,
     LATERAL (SELECT timestamptz '2025-07-01' + i * interval '10 minutes' AS t) AS placed;

INSERT INTO "OrderItem" ("orderId", "productId", quantity, "unitPrice")
SELECT i, product, n, 5 + mod(product * 7, 200)
FROM generate_series(1, :orders) AS i, generate_series(1, 1 + mod(i, 4)) AS n,
     LATERAL (SELECT mod(i * 5 + n * 3, :products) + 1 AS product) AS item;

INSERT INTO invoices (order_id, tenant_id, status, total, issued_on)
SELECT id, tenant_id, CASE status WHEN 'cancelled' THEN 'void' ELSE 'paid' END::invoice_status, total, placed_at::date
FROM "order" ORDER BY id;

INSERT INTO payments (region, invoice_id, amount, method, paid_at)
SELECT (ARRAY['eu', 'us', 'uk', 'jp', 'ca'])[mod(id, 5) + 1], id, total, (ARRAY['card', 'transfer'])[mod(id, 2) + 1],
       issued_on + interval '1 day'
FROM invoices WHERE status = 'paid' ORDER BY id;

INSERT INTO refunds (payment_id, payment_region, amount, reason)
SELECT id, region, amount / 2, 'Returned' FROM payments WHERE mod(id, 100) = 0 ORDER BY id;

INSERT INTO shipments (order_id, carrier, tracking, address, shipped_at)
SELECT id, (ARRAY['Blue Parcel', 'Green Parcel'])[mod(id, 2) + 1], 'TRACK' || id, shipping, placed_at + interval '2 days'
FROM "order" WHERE status IN ('shipped', 'delivered') AND mod(id, 4) = 0 ORDER BY id;

INSERT INTO product_reviews (product_id, user_id, stars, review, created_at)
SELECT mod(i, :products) + 1, :teachers + mod(i * 7, :students) + 1, mod(i, 5) + 1, 'Review ' || i, timestamptz '2026-04-01'
FROM generate_series(1, :products) AS i;
