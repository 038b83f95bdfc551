/**
 * The GTIN lookup in the application's own way: indented JSON of strings, a timestamp and a session cookie in each answer.
 */
import { money, numberOfGtin, type Product, productOf } from './catalog.ts'
import type { Exchange } from './exchange.ts'
import { stamp } from './pages.ts'
import type { Route } from './router.ts'

/** The route of the endpoint that a strangler moves first. */
export const lookupRoutes: readonly Route[] = [
  { path: '/stores/:storeId/gtins/:gtin', methods: { GET: lookup }, slow: true },
]

/** Finds 12 digits only: this application never learnt of other GTIN forms. Any store id is taken. */
function lookup(x: Exchange): void {
  const { storeId = '', gtin = '' } = x.params
  const number = numberOfGtin(gtin)
  const product = number === null ? null : productOf(number, x.legacy.today())
  if (product === null || product.discontinued) {
    const error = { errorCode: 'CE-1404', errorText: 'GTIN NOT ON FILE', gtin, generatedAt: stamp(x) }
    x.json({ code: 404, reason: 'Gtin Not On File' }, error, [['Pragma', 'no-cache'], ...x.sessionCookie()])
    return
  }
  x.json(200, { host: x.legacy.name, ...answerOf(product, storeId), generatedAt: stamp(x) }, [
    ['Cache-Control', 'private, max-age=0'],
    ...x.sessionCookie(),
    ['X-Request-Cost', `${4 + product.stores.length}`],
  ])
}

/** The values of a product under the names that clients of the lookup know. The store asked for comes first where it sells the product. */
export function answerOf(product: Product, storeId: string) {
  const asked = product.stores.filter(({ store }) => String(store) === storeId)
  const others = product.stores.filter(({ store }) => String(store) !== storeId)
  return {
    gtin: product.gtin,
    sku: product.sku,
    size1: product.size1,
    size2: product.size2,
    style: product.style,
    originalRetail: money(product.originalCents),
    recommendRetail: money(product.recommendCents),
    subdivisionName: product.line.subdivisionName,
    className: product.line.className,
    subclassName: product.line.subclassName,
    description: product.description,
    color: product.color,
    supplierName: product.supplier.name,
    storeDetail: [...asked, ...others].map(({ store, regularCents, specialCents }) => ({
      storeNumber: String(store),
      price: { regularRetail: money(regularCents), specialRetail: money(specialCents) },
    })),
  }
}
