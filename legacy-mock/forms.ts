/**
 * What people fill in: login with its several cookies, the account page behind it, an order form, and redirects.
 */
import { netscapeDate } from './clock.ts'
import { type Exchange, escapeHtml, type Field, Refusal } from './exchange.ts'
import { page } from './pages.ts'
import type { Route } from './router.ts'
import { DAY_MS } from './units.ts'

const HTML = 'text/html; charset=ISO-8859-1'

/** The routes of this family. */
export const formRoutes: readonly Route[] = [
  { path: '/login', methods: { GET: loginForm, POST: login }, slow: true },
  { path: '/logout', methods: { GET: logout } },
  { path: '/account', methods: { GET: account }, slow: true },
  { path: '/orders', methods: { GET: orders, POST: order }, slow: true },
  { path: '/orders/:id', methods: { GET: orderPage }, slow: true },
  { path: '/go/home', methods: { GET: (x) => x.redirect('/?from=go') } },
]

function loginForm(x: Exchange): void {
  const form = `<h1>Sign in</h1>\n<form method="post" action="/login"><input type="hidden" name="csrf" value="${x.token('csrf')}">
<input name="user"><input type="password" name="pass"><input type="submit" value="Sign in"></form>`
  x.send(200, HTML, page('Sign in', form), [['Cache-Control', 'no-store'], ...x.sessionCookie()])
}

/** Takes any name and password, as long as the form was filled in whole. */
async function login(x: Exchange): Promise<void> {
  const { user, pass, csrf } = await fields(x)
  if (!user || !pass || !/^[0-9a-f]{32}$/.test(csrf ?? '')) throw new Refusal(403, 'SIGN IN FAILED')
  x.redirect('/account', loginCookies(x, user))
}

/** As the application has set them since its first version: old date form, upper-case names, quotes, nameless and empty values. */
function loginCookies(x: Exchange, user: string): Field[] {
  const expires = netscapeDate(x.legacy.clock.nowMs() + 365 * DAY_MS)
  const host = (x.req.headers.host ?? 'localhost').replace(/:\d+$/, '')
  return [
    ...x.sessionCookie(),
    ['Set-Cookie', `CATUSER=${encodeURIComponent(user)}; Expires=${expires}; PATH=/; DOMAIN=${host}`],
    ['set-cookie', `prefs="lang=en|cur=USD"; Version=1; Max-Age=3600; path=/`],
    ['Set-Cookie', 'lastStore=; path=/stores; expires=Thu, 01-Jan-1970 00:00:01 GMT'],
    ['SET-COOKIE', 'legacyflag;path=/;SameSite=none;Priority=High;X-Unknown'],
  ]
}

function logout(x: Exchange): void {
  if (x.session !== undefined) x.legacy.kept.close(x.session)
  const gone = 'expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/'
  x.redirect('/', [
    ['Set-Cookie', `JSESSIONID=; ${gone}`],
    ['Set-Cookie', `CATUSER=; ${gone}`],
  ])
}

function account(x: Exchange): void {
  const user = /(?:^|;\s*)CATUSER=([^;]+)/.exec(x.req.headers.cookie ?? '')?.[1]
  if (user === undefined) x.redirect('/login')
  else
    x.send(200, HTML, page('Account', `<h1>Hello ${escapeHtml(user)}</h1>`), [
      ['Cache-Control', 'private, no-store'],
      ...x.sessionCookie(),
    ])
}

/** Each is an order of its own, also where the same form comes twice: a POST that was sent again shows. */
async function order(x: Exchange): Promise<void> {
  const { gtin, qty } = await fields(x)
  if (!/^\d{12}$/.test(gtin ?? '') || !/^[1-9]\d{0,2}$/.test(qty ?? '')) throw new Refusal(400, 'ORDER FORM INCOMPLETE')
  const what = `${gtin}-${qty}`
  x.redirect(`/orders/${x.legacy.frozen ? what : x.legacy.kept.order(what)}`, x.sessionCookie())
}

/** What was ordered since the start, and how often. */
function orders(x: Exchange): void {
  const rows = x.legacy.kept.orders().map(([what, times]) => `<tr><td>${what}</td><td>${times}</td></tr>`)
  x.send(200, HTML, page('Orders', `<table>\n${rows.join('\n')}\n</table>`), [['Cache-Control', 'no-store']])
}

function orderPage(x: Exchange): void {
  const id = x.params.id ?? ''
  if (!/^\d{12}-[1-9]\d{0,2}(?:-[1-9]\d*)?$/.test(id)) throw new Refusal(404, 'ORDER NOT ON FILE')
  x.send(200, HTML, page('Order', `<h1>Order ${id}</h1>\n<p>Thank you.</p>`), x.sessionCookie())
}

/** The fields of an urlencoded form. */
async function fields(x: Exchange): Promise<Record<string, string | undefined>> {
  const type = x.req.headers['content-type'] ?? ''
  if (!/^application\/x-www-form-urlencoded\b/i.test(type)) throw new Refusal(415, 'FORM EXPECTED')
  return Object.fromEntries(new URLSearchParams((await x.body()).toString('latin1')))
}
