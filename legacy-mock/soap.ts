/**
 * The SOAP 1.1 service that back-office systems call for a product.
 */
import { money, numberOfGtin, type Product, productOf } from './catalog.ts'
import { type Exchange, escapeHtml } from './exchange.ts'
import type { Route } from './router.ts'

const XML = 'text/xml; charset=utf-8'

/** The routes of this family. */
export const soapRoutes: readonly Route[] = [
  { path: '/soap/ProductService', methods: { POST: call, GET: description }, slow: true },
]

async function call(x: Exchange): Promise<void> {
  const request = (await x.body()).toString('utf8')
  const gtin = /<(?:[\w.-]+:)?Gtin>\s*([^<]*?)\s*<\//i.exec(request)?.[1]
  if (gtin === undefined) return fault(x, 'soap:Client', 'Gtin element expected')
  const number = numberOfGtin(gtin)
  const product = number === null ? null : productOf(number, x.legacy.today())
  if (product === null || product.discontinued) return fault(x, 'soap:Client', 'GTIN NOT ON FILE')
  send(x, 200, productXml(product))
}

/** A fault is an HTTP 500, whoever is to blame (SOAP 1.1 section 6.2). */
function fault(x: Exchange, code: string, text: string): void {
  send(x, 500, `<soap:Fault><faultcode>${code}</faultcode><faultstring>${text}</faultstring></soap:Fault>`)
}

function send(x: Exchange, status: number, body: string): void {
  const xml = `<?xml version="1.0" encoding="utf-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>${body}</soap:Body></soap:Envelope>\n`
  x.send(status, XML, Buffer.from(xml), [['SOAPAction', '""']])
}

function productXml(product: Product): string {
  const prices = product.stores.map(
    (at) => `<p:Price store="${at.store}" regular="${money(at.regularCents)}" special="${money(at.specialCents)}"/>`,
  )
  return `<p:GetProductResponse xmlns:p="urn:catalog-enterprise:product"><p:Product Gtin="${product.gtin}" Sku="${product.sku}"><p:Description>${escapeHtml(product.description)}</p:Description><p:Subdivision>${escapeHtml(product.line.subdivisionName)}</p:Subdivision>${prices.join('')}</p:Product></p:GetProductResponse>`
}

function description(x: Exchange): void {
  const wsdl = `<?xml version="1.0" encoding="utf-8"?>
<definitions name="ProductService" targetNamespace="urn:catalog-enterprise:product" xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/">
  <service name="ProductService"><port name="ProductPort" binding="ProductBinding"><soap:address location="${escapeHtml(x.origin)}/soap/ProductService"/></port></service>
</definitions>\n`
  x.send(200, XML, Buffer.from(wsdl))
}
