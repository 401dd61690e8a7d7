"""Some orders: python -m shop.customers NUMBER_OF_ORDERS."""

import sys

from shop.tasks import count, newsletter, order, refund

for number in range(int(sys.argv[1])):
    order.delay(number)
    count.delay(number)
refund.delay(1)
newsletter.apply_async(countdown=2)
