//! The commands find the local stack by the variables that configure it.

use local::serve::{Serve, Stack};

use crate::stack::run;

#[tokio::test(flavor = "multi_thread")]
async fn commands_find_the_local_stack_and_its_dynamodb_without_options() {
    // A free port. The commands and the stack read it from the same variable.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let show = async || run(&["show", "customer-alder"], &[("BYOS_PORT", &port)], "").await;
    let output = show().await;
    assert!(output.code == 1 && output.err.contains("no local stack answers") && output.err.contains(&port), "{output:?}");

    let options = Serve {
        seed: true,
        port: port.parse().unwrap(),
        data: None,
        dynamodb_endpoint: None,
        dynamodb_port: 0,
        dynamodb_address: [127, 0, 0, 1].into(),
        webhook_secret: template::local::WEBHOOK_SECRET.to_owned(),
        api_token: template::local::API_TOKEN.to_owned(),
    };
    let stack = Stack::start(&options).await.unwrap();
    stack.seed(template::local::WEBHOOK_SECRET).await.unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await.unwrap();
    let router = stack.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let output = show().await;
    assert!(output.code == 0 && output.out.contains("Alder Analytics GmbH"), "{output:?}");
}
