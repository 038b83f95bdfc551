/**
 * The WebDAV folder of store leaflets (PROPFIND), and PURGE for the page cache of the application.
 */

import { changedDayOf } from './catalog.ts'
import { httpDate } from './clock.ts'
import { type Exchange, escapeHtml, Refusal } from './exchange.ts'
import type { Route } from './router.ts'
import { DAY_MS } from './units.ts'

const LEAFLETS = 5

/** The routes of this family. */
export const webdavRoutes: readonly Route[] = [
  { path: '/leaflets/', methods: { PROPFIND: propfind, GET: listing } },
  { path: '/leaflets/:name.txt', methods: { GET: leaflet, PROPFIND: propfind } },
  { path: '/cache/*', methods: { PURGE: purge } },
]

/** 207 with the folder and, at depth 1 or infinity, its files (RFC 4918 section 9.1). */
async function propfind(x: Exchange): Promise<void> {
  await x.body()
  const depth = x.req.headers.depth ?? 'infinity'
  if (depth !== '0' && depth !== '1' && depth !== 'infinity') throw new Refusal(400, 'BAD DEPTH')
  const names = x.params.name === undefined ? ['', ...files()] : [`${nameOf(x)}.txt`]
  const shown = depth === '0' ? names.slice(0, 1) : names
  const xml = `<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n${shown.map((name, at) => responseXml(x, name, at)).join('')}</D:multistatus>\n`
  x.send(207, 'application/xml; charset="utf-8"', Buffer.from(xml), [['DAV', '1']])
}

function responseXml(x: Exchange, name: string, at: number): string {
  const type = name === '' ? '<D:resourcetype><D:collection/></D:resourcetype>' : '<D:resourcetype/>'
  const modified = httpDate(changedDayOf(at, x.legacy.today()) * DAY_MS)
  return `<D:response><D:href>/leaflets/${escapeHtml(name)}</D:href><D:propstat><D:prop>${type}<D:getlastmodified>${modified}</D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n`
}

function files(): string[] {
  return Array.from({ length: LEAFLETS }, (_, index) => `week-${index + 1}.txt`)
}

function nameOf(x: Exchange): string {
  const name = x.params.name ?? ''
  if (!files().includes(`${name}.txt`)) throw new Refusal(404, 'NO SUCH LEAFLET')
  return name
}

function leaflet(x: Exchange): void {
  x.send(200, 'text/plain; charset=ISO-8859-1', `Leaflet ${nameOf(x)}: prix d'\xe9t\xe9, everything must go.\r\n`)
}

function listing(x: Exchange): void {
  const links = files().map((name) => `<li><a href="${name}">${name}</a></li>`)
  x.send(200, 'text/html; charset=ISO-8859-1', `<html><body><ul>${links.join('')}</ul></body></html>\n`)
}

function purge(x: Exchange): void {
  x.send({ code: 200, reason: 'Purged' }, 'text/plain', `purged ${x.target}\n`)
}
