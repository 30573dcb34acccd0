//! A proxy in front of a local DynamoDB that fails random requests, to try faults by hand on a running stack:
//!
//!     cargo run -- --dynamodb-port 8000
//!     cargo run -p byos --example faults -- http://127.0.0.1:8000 8001 10
//!     cargo run -- --port 8081 --dynamodb-endpoint http://127.0.0.1:8001
//!
//! Arguments: URL of the DynamoDB, port of the proxy, percentage of requests that fail. Every ten seconds it prints the
//! number of injected faults. Stop it with Ctrl-C.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{sync::Mutex, time::Duration};

use testkit::proxy::{Dice, Proxy};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [upstream, port, percent] = &arguments[..] else {
        eprintln!("usage: faults <url of a DynamoDB> <port> <percentage of requests that fail>");
        std::process::exit(2);
    };
    let (port, percent) =
        (port.parse().expect("the port is not a number"), percent.parse().expect("the percentage is not a number"));
    let proxy = Proxy::start(upstream, port, None).await.expect("the port is not available");
    let dice = Mutex::new(Dice(1));
    proxy.fail(move |_, _| {
        let mut dice = dice.lock().unwrap();
        dice.chance(percent).then(|| dice.fault(Duration::from_secs(4)))
    });
    println!("Proxy with faults: {} -> {upstream}", proxy.endpoint);
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        println!("{:?}", proxy.fault_counts());
    }
}
