/**
 * The two sides of `moved.test.ts`: a Koa service with paths of its own, and with `--legacy` the application that it replaces.
 */

import Koa from 'koa'
import Router from 'koa-router'

const app = new Koa()
const router = new Router()

if (process.argv.includes('--legacy')) {
  router.all('/catalog/stores/:store/gtins/:gtin', (ctx) => {
    ctx.body = { side: 'old', url: ctx.req.url, token: ctx.get('x-old-token'), prefix: ctx.get('x-forwarded-prefix') }
  })
} else {
  router.get('/v2/items/:gtin', (ctx) => {
    // Data that has not been moved yet.
    if ((ctx.params.gtin as string).startsWith('9')) ctx.throw(503)
    ctx.cookies.set('cart', 'c1', { path: '/v2/items', overwrite: true })
    ctx.set('Link', `</v2/items/${ctx.params.gtin}/history>; rel="history", </v2/items/77>; rel="next"`)
    ctx.body = { side: 'new', url: ctx.req.url, token: ctx.get('x-old-token'), store: ctx.get('x-store') }
  })
  router.post('/v2/items/:gtin', (ctx) => {
    ctx.status = 303
    ctx.set('Location', `/v2/items/${ctx.params.gtin}?created`)
  })
}

app.use(router.routes())
app.silent = true
const server = app.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as { port: number }
  process.stdout.write(`ready ${port}\n`)
})
process.on('SIGTERM', () => {
  server.closeAllConnections()
  server.close()
})
