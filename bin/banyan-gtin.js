#!/usr/bin/env node
// The check comes first and the program is loaded after it, so that an old Node answers with one clear line.
import { isCheckout } from './need-node.js'
import './compile-cache.js'

await import(isCheckout ? '../gtin-service/main.ts' : '../dist/gtin-service/main.js')
