// A program written with Testground's SDK for JavaScript: asks the network for a latency, and measures the way to every other instance and
// back. Instances of rust/ do the same, and all of them meet.
'use strict'

const net = require('net')
const { once } = require('events')
const { invokeMap, network } = require('@testground/sdk')

const PORT = 7000

invokeMap({
  ping: async (runenv, client) => {
    const all = runenv.testInstanceCount
    const links = network.newClient(client, runenv)
    await links.waitNetworkInitialized()
    const me = await client.signalAndWait('initialized_global', all)

    const address = links.getDataNetworkIP()
    const server = net.createServer((socket) => socket.pipe(socket))
    server.listen(PORT, address)
    await once(server, 'listening')

    await client.publish('addresses', { address })
    const others = []
    const addresses = await client.subscribe('addresses')
    for await (const each of addresses.wait) {
      others.push(each.address)
      if (others.length === all) break
    }
    addresses.cancel()

    const latencyMs = Number(runenv.testInstanceParams.latency_ms)
    await links.configureNetwork({
      network: 'default',
      enable: true,
      default: { latency: latencyMs * 1_000_000 },
      callbackState: 'slowed',
      routingPolicy: network.DENY_ALL
    })

    for (const other of others.filter((other) => other !== address)) {
      const socket = net.connect(PORT, other)
      await once(socket, 'connect')
      socket.setNoDelay(true)
      const began = process.hrtime.bigint()
      socket.write('ping')
      await once(socket, 'data')
      const tookMs = Number(process.hrtime.bigint() - began) / 1e6
      runenv.recordMessage(`instance ${me}: ${other} answered after ${tookMs.toFixed(1)} ms`)
      socket.destroy()
      if (tookMs < 2 * latencyMs || tookMs > 2 * latencyMs + 100) {
        throw new Error(`${other} answered after ${tookMs} ms, where twice ${latencyMs} ms were asked for`)
      }
    }
    await client.signalAndWait('done', all)
    server.close()
  }
})
