/**
 * The HTML pages of the shop: home, search, product, store. Served as ISO-8859-1, as their templates were written.
 */
import { firstOfStyle, money, numberOfGtin, numberOfSku, type Product, productOf, STYLE_COUNT } from './catalog.ts'
import { notModified } from './conditional.ts'
import { type Exchange, escapeHtml, type Field, Refusal } from './exchange.ts'
import { LINES, STORE_COUNT, storeName } from './merchandise.ts'
import type { Route } from './router.ts'
import { DAY_MS } from './units.ts'

const HTML = 'text/html; charset=ISO-8859-1'
const PRELOADS = ['</static/catalog.css>; rel=preload; as=style', '</static/logo.bmp>; rel=preload; as=image']

/** The routes of this family. */
export const pageRoutes: readonly Route[] = [
  { path: '/', methods: { GET: home }, slow: true },
  { path: '/search', methods: { GET: search }, slow: true },
  { path: '/products/:gtin', methods: { GET: product }, slow: true },
  { path: '/stores/:storeId', methods: { GET: store }, slow: true },
]

/** A whole page around some HTML. */
export function page(title: string, body: string): string {
  return `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<html>
<head>
<title>${escapeHtml(title)} - Catalog Enterprise</title>
<link rel="stylesheet" href="/static/catalog.css">
</head>
<body bgcolor="#FFFFFF">
<table width="100%"><tr><td><a href="/"><img src="/static/logo.bmp" alt="Catalog"></a></td>
<td><form action="/search"><input name="q"><input type="submit" value="Search"></form></td>
<td><a href="/login">Sign in</a></td></tr></table>
${body}
<hr><font size="1">\u00a9 1998-2009 Catalog Enterprise AG, Z\u00fcrich. Caf\u00e9 open daily.</font>
</body>
</html>
`
}

/** Early hints belong to HTTP/1.1 clients only (RFC 9110 section 15.2, RFC 8297). */
function home(x: Exchange): void {
  if (x.req.httpVersion === '1.1') x.res.writeEarlyHints({ link: PRELOADS })
  const list = [...new Set(LINES.map((line) => line.subdivisionName))]
    .map((name) => `<li><a href="/search?q=${encodeURIComponent(name)}">${escapeHtml(name)}</a></li>`)
    .join('\n')
  const body = `<h1>Welcome</h1>\n<p>Page made at ${stamp(x)}.</p>\n<ul>\n${list}\n</ul>`
  x.send(200, HTML, page('Home', body), [
    ...PRELOADS.map((link): Field => ['Link', link]),
    ['Cache-Control', 'private'],
    ...x.sessionCookie(),
  ])
}

const HITS_PER_PAGE = 20

function search(x: Exchange): void {
  const words = x.query.get('q')?.trim() ?? ''
  const at = Math.min(9999, Math.max(1, Number.parseInt(x.query.get('page') ?? '1', 10) || 1))
  const hits = findProducts(words, at, x.legacy.today())
  const rows = hits.map(
    (hit) =>
      `<tr><td><a href="/products/${hit.gtin}">${hit.gtin}</a></td><td>${escapeHtml(hit.description)}</td><td>${escapeHtml(hit.color)}</td><td align="right">$${money(hit.originalCents)}</td></tr>`,
  )
  const next =
    hits.length < HITS_PER_PAGE ? '' : `<a href="/search?q=${encodeURIComponent(words)}&amp;page=${at + 1}">more</a>`
  const body = `<h1>Results for "${escapeHtml(words)}"</h1>\n<table border="1">\n${rows.join('\n')}\n</table>\n${next}`
  x.send(200, HTML, page('Search', body), [['Cache-Control', 'no-cache'], ['Pragma', 'no-cache'], ...x.sessionCookie()])
}

/** A bar code or SKU finds its product; words find the lines whose names hold them all, and those lines' styles in turn. */
function findProducts(words: string, at: number, day: number): Product[] {
  const number = numberOfGtin(words) ?? numberOfSku(words)
  if (number !== null) return at === 1 ? [productOf(number, day)].filter((found) => !found.discontinued) : []
  const wanted = words.toUpperCase().split(/\s+/)
  const lines = LINES.flatMap((line, index) => {
    const names = `${line.subdivisionName} ${line.className} ${line.subclassName} ${line.noun.toUpperCase()}`
    return wanted.every((word) => names.includes(word)) ? [index] : []
  })
  if (lines.length === 0) return []
  const hits: Product[] = []
  for (let hit = (at - 1) * HITS_PER_PAGE; hit < at * HITS_PER_PAGE; hit++) {
    const style = (lines[hit % lines.length] as number) + Math.floor(hit / lines.length) * LINES.length
    if (style < STYLE_COUNT) hits.push(productOf(firstOfStyle(style), day))
  }
  return hits.filter((found) => !found.discontinued)
}

/** Cacheable: the page is the same until the product changes, so it carries validators (RFC 9110 section 8.8). */
function product(x: Exchange): void {
  const found = productByGtin(x, x.params.gtin ?? '')
  const changedMs = found.changedDay * DAY_MS
  const fields: Field[] = [['Cache-Control', 'max-age=60']]
  if (notModified(x, { etag: `W/"${found.sku}-${found.changedDay}"`, modifiedMs: changedMs }, fields)) return
  const prices = found.stores.map(
    ({ store: at, regularCents, specialCents }) =>
      `<tr><td><a href="/stores/${at}">${escapeHtml(storeName(at))}</a></td><td>$${money(regularCents)}</td><td><font color="red">$${money(specialCents)}</font></td></tr>`,
  )
  const { line } = found
  const body = `<h1>${escapeHtml(found.description)}</h1>
<img src="/images/${found.gtin}.bmp" alt="${found.gtin}">
<p>${escapeHtml(`${line.subdivisionName} > ${line.className} > ${line.subclassName}`)}</p>
<p>Style ${found.style}, ${escapeHtml(found.color)}, size ${found.size1} ${found.size2}, by ${escapeHtml(found.supplier.name)}</p>
<p><s>$${money(found.recommendCents)}</s> $${money(found.originalCents)}</p>
<table border="1">\n${prices.join('\n')}\n</table>`
  x.send(200, HTML, page(found.description, body), fields)
}

/**
 * The product on sale with this GTIN.
 * @throws {Refusal} 404 where there is none
 */
export function productByGtin(x: Exchange, gtin: string): Product {
  const number = numberOfGtin(gtin)
  const found = number === null ? null : productOf(number, x.legacy.today())
  if (found === null || found.discontinued) throw new Refusal(404, 'PRODUCT NOT ON FILE')
  return found
}

function store(x: Exchange): void {
  const id = x.params.storeId ?? ''
  const number = /^[1-9]\d{0,2}$/.test(id) ? Number(id) : 0
  if (number < 1 || number > STORE_COUNT) throw new Refusal(404, 'STORE NOT ON FILE')
  const body = `<h1>Store ${number}: ${escapeHtml(storeName(number))}</h1>
<p>${100 + number * 7} Main Street. Open Mon-Sat 10-9, Sun 12-6.</p>
<p>Page made at ${stamp(x)}.</p>`
  x.send(200, HTML, page(`Store ${number}`, body), x.sessionCookie())
}

/** The time as pages and records show it: `2026-11-23 20:09:20.123`. */
export function stamp(x: Exchange): string {
  return new Date(x.legacy.clock.nowMs()).toISOString().replace('T', ' ').replace('Z', '')
}
