//! Socketioxide behind axum: what comes over the control connection (a length of 4 bytes, big-endian, then a text) is
//! emitted to everybody in the default namespace. Tells where it listens in lines as Headwater does.

use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |_: SocketRef| {});
    let control = TcpListener::bind("127.0.0.1:0").await?;
    // With room for thousands who come at once.
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(4_096)?;
    println!("listening socketioxide {}", listener.local_addr()?);
    println!("listening control {}", control.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = control.accept().await {
            let mut text = Vec::new();
            while let Ok(len) = stream.read_u32().await {
                text.resize(len as usize, 0);
                if stream.read_exact(&mut text).await.is_err() {
                    break;
                }
                let _ = io.emit("event", &String::from_utf8_lossy(&text)).await;
            }
        }
    });
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}
